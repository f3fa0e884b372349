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

// One arena per core instead of eight: the C library gives every allocating thread its
// own arena, Go calls TensorFlow from ever new threads, and each arena keeps the most
// memory that its threads have needed.
func init() { C.arenas(C.int(max(2, runtime.NumCPU()))) }

// TrimMemory gives the memory that TensorFlow has freed back to the system. Otherwise
// the C library keeps it: memory that an evaluation, with its larger batches, or a
// checkpoint needed once would stay with the process for the rest of a training run.
func TrimMemory() { C.trim() }
