"""The link: the frames, their messages and the thread that owns the socket."""
