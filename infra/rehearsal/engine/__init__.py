"""The embedded Pulumi engine: what the `pulumi` binary does for our stacks, in this process.

It is a means, not a rival: it does what the stacks of this repository need, by the same protocol towards the
program and the same state on disk, and refuses the rest by name. The real CLI was never run against it.

    command -> arguments, workplace, project        a command line, where it stands
      stack_commands                                what needs no engine
      operations, lock                              the frame around preview, up, refresh, destroy; one writer
        program, child -> monitor                   runs the program; gRPC towards it
          execute -> steps (pure), paths, marks     checks, compares, decides
            effects -> pool -> provider            calls, in parallel; the in-process provider protocol
              journal -> state, resource, crypt     intent and result on disk, secrets encrypted
        refresh                                     after a kill; drift
        events                                      what others get to see
"""
