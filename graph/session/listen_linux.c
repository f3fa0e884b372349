// TensorFlow's server listens on all addresses of the machine and cannot be told
// otherwise. The dynamic linker finds this bind before that of the C library, and
// listen_on tells it which address to put in the place of all of them. Go's own
// network code does not come by here.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct in6_addr address; // IPv4 as ::ffff:a.b.c.d
static in_port_t port;          // in network order; 0 is none
static int replaced;            // how often

// listen_on tells whether it can do what it is for.
int listen_on(const unsigned char *ip, int p) {
	memcpy(&address, ip, sizeof address);
	port = htons(p);
	return 1;
}

// listens tells whether anybody listens on the address.
int listens(void) { return replaced > 0; }

int bind(int fd, const struct sockaddr *given, socklen_t size) {
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	if (port != 0 && given->sa_family == AF_INET6 && size >= sizeof v6) {
		memcpy(&v6, given, sizeof v6);
		if (v6.sin6_port == port && IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
			v6.sin6_addr = address;
			replaced++;
			return syscall(SYS_bind, fd, &v6, sizeof v6);
		}
	}
	if (port != 0 && given->sa_family == AF_INET && size >= sizeof v4) {
		memcpy(&v4, given, sizeof v4);
		if (v4.sin_port == port && v4.sin_addr.s_addr == INADDR_ANY) {
			if (!IN6_IS_ADDR_V4MAPPED(&address)) {
				errno = EADDRNOTAVAIL; // told to listen on IPv6 alone
				return -1;
			}
			memcpy(&v4.sin_addr, address.s6_addr + 12, sizeof v4.sin_addr);
			replaced++;
			return syscall(SYS_bind, fd, &v4, sizeof v4);
		}
	}
	return syscall(SYS_bind, fd, given, size);
}
