#ifdef __linux__
#define _GNU_SOURCE
#include <sys/mman.h>
#endif
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tflog.h"

static int log_file = -1, terminal = -1;
static char abort_hint[4352];

int galaxy_redirect(int fd, int other) { return dup2(other, fd); }

static void put(const char *text, size_t n) {
  // Nothing is left to be told of a failure here.
  if (write(terminal, text, n) < 0) return;
}

static int fatal_starts(const char *line, const char *end) {
  return end - line > 1 && line[0] == 'F' && line[1] >= '0' && line[1] <= '9';
}

// TensorFlow ends the process with abort() where a check of its own fails, and its
// reason stands in the log only. Every call here is async-signal-safe.
static void on_abort(int number) {
  static char tail[16384];
  struct stat status;
  off_t from = 0;
  if (fstat(log_file, &status) == 0 && status.st_size > (off_t)sizeof tail) from = status.st_size - (off_t)sizeof tail;
  ssize_t n = pread(log_file, tail, sizeof tail, from);
  const char *end = tail + (n > 0 ? n : 0), *last = tail, *fatal = NULL;
  for (const char *p = tail; p < end; p++) {
    if (p > tail && p[-1] != '\n') continue;
    last = p;
    if (fatal_starts(p, end)) fatal = p;
  }
  const char *from_here = fatal ? fatal : last, *stop = from_here;
  while (stop < end && *stop != '\n') stop++;
  static const char prefix[] = "\ntensorflow: fatal: ";
  put(prefix, sizeof prefix - 1);
  put(from_here, (size_t)(stop - from_here));
  put("\n", 1);
  put(abort_hint, strlen(abort_hint));
  raise(number);  // SA_RESETHAND: this time with its usual end
}

static void watch_abort(int log, int term) {
  log_file = log;
  terminal = term;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_abort;
  action.sa_flags = SA_ONSTACK | SA_RESETHAND;  // SA_ONSTACK: Go's stacks are small
  sigaction(SIGABRT, &action, NULL);
}

void galaxy_on_abort(int log, int term, const char *hint) {
  snprintf(abort_hint, sizeof abort_hint, "%s\n", hint);
  watch_abort(log, term);
}

// libtensorflow prints two lines while it is loaded, before main, whatever the
// environment says. On Linux what stands in .preinit_array runs before any
// library's initialisers, and a constructor of the executable after all of them:
// between the two, file descriptor 2 leads into a file in memory.

static int early = -1;
enum { exit_stopped = 3 };  // as exitStopped of main.go

int galaxy_early_log(void) { return early; }

#ifdef __linux__
// Until main asks for these signals they end the process as they do later, with a sentence:
// the initialisers of libtensorflow take a while. Before those the dynamic linker takes about
// as long, and nothing of this program has run.
static void stop_early(int number) {
  static const char text[] = "galaxy: stopped by a signal before the command had begun\n";
  (void)number;
  if (write(terminal < 0 ? STDERR_FILENO : terminal, text, sizeof text - 1) < 0) _exit(exit_stopped);
  _exit(exit_stopped);
}

static void watch_stops(void) {
  static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU};
  for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
    struct sigaction was, action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop_early;
    action.sa_flags = SA_ONSTACK;
    // An ignored signal, as nohup has it, stays ignored.
    if (sigaction(stops[i], NULL, &was) == 0 && was.sa_handler == SIG_DFL) sigaction(stops[i], &action, NULL);
  }
}

static void hold_back(void) {
  watch_stops();
  int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (real < 0) return;
  early = memfd_create("galaxy-early-log", MFD_CLOEXEC);
  if (early < 0 || dup2(early, STDERR_FILENO) < 0) {
    close(real);
    return;
  }
  watch_abort(early, real);  // a CPU that the library was not built for ends here
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = hold_back;

__attribute__((constructor)) static void let_go(void) {
  if (terminal < 0) return;
  signal(SIGABRT, SIG_DFL);
  dup2(terminal, STDERR_FILENO);
  close(terminal);
  terminal = -1;
}
#endif
