#ifdef __linux__
#include <string.h>

extern char **environ;

// libtensorflow decides between its two sets of CPU kernels while it is loaded, before
// any code of this program runs, and asks getenv. A variable set by an initialiser comes
// too late; one set in .preinit_array is lost, since the C library takes over its
// environment after that. So the executable has a getenv of its own, which the dynamic
// linker prefers for every library, as it does with a malloc of an executable's own. It
// is the C library's but for one default. Nothing enters the environment, so child
// processes do not inherit it.
char *getenv(const char *name) {
  size_t n = strlen(name);
  if (n > 0 && environ != NULL) {
    for (char **e = environ; *e != NULL; e++) {
      if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') return *e + n + 1;
    }
  }
#ifdef __x86_64__
  static char on[] = "1";
  if (strcmp(name, "TF_ENABLE_ONEDNN_OPTS") == 0) return on;
#endif
  return NULL;
}
#endif

// tensorflow::IsMKLEnabled(), which libtensorflow exports. Weak: the symbol is C++'s, and
// another build of the library may lack it.
extern _Bool is_mkl_enabled(void) __asm__("_ZN10tensorflow12IsMKLEnabledEv") __attribute__((weak));

int galaxy_onednn(void) { return is_mkl_enabled == NULL ? -1 : is_mkl_enabled(); }
