"""What an account asks for besides: whom a pipeline works as, and who is told of costs."""
