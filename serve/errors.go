package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fail returns an error with the code that gRPC clients get; REST clients get the HTTP status that
// httpStatus makes of it.
func fail(code codes.Code, format string, args ...any) error {
	return status.Errorf(code, format, args...)
}

// invalid is fail for a request that a client has to change.
func invalid(format string, args ...any) error { return fail(codes.InvalidArgument, format, args...) }

// statusOf returns err's code and message. The end of a request's context has a code too.
func statusOf(err error) *status.Status {
	switch s, ok := status.FromError(err); {
	case ok:
		return s
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the request took longer than it may; send fewer images at a time (the service's timeout sets this)")
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the client went away")
	}
	return status.New(codes.Internal, err.Error())
}

// httpStatus returns the HTTP status that TensorFlow Serving gives for an error's code
// (tensorflow_serving/model_servers/http_server.cc), except for a body that is too large, which is
// 413 (tooLarge).
func httpStatus(err error) int {
	if errors.As(err, new(tooLarge)) {
		return http.StatusRequestEntityTooLarge
	}
	switch statusOf(err).Code() {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Canceled:
		return 499 // client closed request
	}
	return http.StatusInternalServerError
}

// message returns the text of an error, without the code that fail adds; "" for nil.
func message(err error) string {
	if err == nil {
		return ""
	}
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}

// tooLarge is the error about a body above Config.MaxBody.
type tooLarge struct{ most int }

func (e tooLarge) Error() string {
	return fmt.Sprintf("the body is larger than %d bytes: send fewer images at a time (the service's max-body sets this)", e.most)
}

// GRPCStatus gives the error a code.
func (e tooLarge) GRPCStatus() *status.Status { return status.New(codes.ResourceExhausted, e.Error()) }
