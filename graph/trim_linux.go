package graph

/*
#include <stdlib.h> // defines __GLIBC__ where it is glibc
#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
#else
static void trim(void) {}
#endif
*/
import "C"

// TrimMemory gives the memory that TensorFlow has freed back to the system.
// The C library would keep it: what an evaluation, with its larger batches, or a
// checkpoint, with a second set of the variables, has needed once would stay with the
// process for the rest of a training run.
func TrimMemory() { C.trim() }
