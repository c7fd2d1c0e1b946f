"""The embedded Pulumi engine: what the `pulumi` binary does for our stacks, in this process.

It is a means, not a rival: it does what the stacks of this repository need, by the same protocol towards the
program and the same state on disk, and refuses the rest by name. What the real CLI does in the same scenarios, and
where the two differ: docs/architecture/reality.md.

    commands/command -> arguments, workplace          a command line, where it stands
      commands/stack_commands                         what needs no engine
      commands/operations, state/lock                 the frame around preview, up, refresh, destroy; one writer
        program, child -> monitor                     runs the program; gRPC towards it
          execute -> steps (pure), paths, redaction   checks, compares, decides
            effects -> provider_pool -> provider      calls, in parallel; the in-process provider protocol
              state/journal -> checkpoint, crypt      intent and result on disk, secrets encrypted
        refresh, drift                                after a kill; what other hands have changed
        events                                        what others get to see
"""
