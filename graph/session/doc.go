// Package session holds what every graph needs: the devices and workers it runs on, the
// session that runs it, tensors in and out, and the files that hold its variables.
//
//	devices, err := session.AutoDevices.Resolve(session.Config{})
//	cluster, err := session.JoinCluster(ctx, worker, devices, config) // several machines; else nil
//	sess, err := session.New(graph, config.On(devices, cluster))
//
// # What acts on the whole process
//
//   - Collector forces garbage collections, as tensors are in C memory.
//   - At start the C library is limited to one memory arena per core (trim_linux.go), and
//     TrimMemory returns freed memory to the system.
//   - JoinCluster starts a server that lives as long as the process, and unsets the
//     environment's proxies, which gRPC would use between workers.
//   - The first session of a process decides the number of threads and the GPU memory of all.
//   - Importing internal/kernels turns oneDNN's kernels on when the library is loaded.
package session
