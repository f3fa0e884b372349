package session

/*
#include <stdlib.h> // defines __GLIBC__ where it is glibc
#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
static void arenas(int most) { mallopt(M_ARENA_MAX, most); }
#else
static void trim(void) {}
static void arenas(int most) {}
#endif
*/
import "C"

import "runtime"

// One arena a core, in place of eight: the C library gives every thread that asks first
// one of its own, Go calls TensorFlow from ever other threads, and what each of them
// has needed at most stays.
func init() { C.arenas(C.int(max(2, runtime.NumCPU()))) }

// TrimMemory gives the memory that TensorFlow has freed back to the system.
// The C library would keep it: what an evaluation, with its larger batches, or the
// writing of a checkpoint has needed once would stay with the process for the rest of a
// training run.
func TrimMemory() { C.trim() }
