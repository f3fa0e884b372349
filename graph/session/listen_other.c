//go:build !linux

// See listen_linux.c: elsewhere the server cannot be told where to listen.
int listen_on(const unsigned char *ip, int p) { return 0; }
int listens(void) { return 0; }
