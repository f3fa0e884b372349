#ifndef GALAXY_TFLOG_H
#define GALAXY_TFLOG_H

// A file with what libtensorflow printed while it was loaded, or -1.
int galaxy_early_log(void);

// Makes fd refer to what other refers to; -1 on failure.
int galaxy_redirect(int fd, int other);

// From now on an abort() shows on the descriptor `terminal` the last message of
// the file `log`, and then `hint`.
void galaxy_on_abort(int log, int terminal, const char *hint);

#endif
