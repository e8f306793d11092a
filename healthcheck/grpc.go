package healthcheck

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The paths of gRPC: grpc.health.v1 (github.com/grpc/grpc-proto, grpc/health/v1/health.proto)
// and what ALB asks of gRPC target groups by default.
const (
	grpcCheckPath = "/grpc.health.v1.Health/Check"
	grpcWatchPath = "/grpc.health.v1.Health/Watch"
	grpcALBPath   = "/AWS.ALB/healthcheck"
)

// The codes of gRPC that are used here.
const (
	grpcOK                = 0
	grpcInvalidArgument   = 3
	grpcNotFound          = 5
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcUnavailable       = 14
)

// The ServingStatus of health.proto.
const (
	serving        = 1
	notServing     = 2
	serviceUnknown = 3
)

const (
	maxGRPCName  = 256             // bytes of a request's message
	maxWatchers  = 128             // Watch calls at once
	grpcReadTime = 5 * time.Second // for a request's message to arrive
)

func grpcEndpoint(path string) endpoint {
	switch path {
	case grpcCheckPath:
		return endRPCCheck
	case grpcWatchPath:
		return endRPCWatch
	case grpcALBPath:
		return endRPCALB
	}
	return endNone
}

// isGRPC reports whether a request over HTTP/2 is a call of gRPC.
func isGRPC(r *http.Request) bool {
	kind := r.Header["Content-Type"]
	if r.Method != http.MethodPost || r.URL.RawPath != "" || len(kind) != 1 {
		return false
	}
	rest, ok := strings.CutPrefix(kind[0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';') // not grpc-web
}

// GRPC answers the health checks of gRPC (grpc.health.v1, Check and Watch), and
// at ALB's default path, /AWS.ALB/healthcheck, 12 while the service takes
// requests, which is the code that ALB expects there, and 14 when it does not.
// [Health.Wrap] answers the same calls; GRPC is for a mux of one's own.
//
// The service names known to it are "" and "readiness", "liveness" and
// "startup". Watch tells each change, and ends with code 14 when a drain begins.
// Other methods get code 12, requests that are no calls of gRPC the status 415.
func (h *Health) GRPC() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !isGRPC(r) {
			http.Error(w, "only gRPC is spoken here", http.StatusUnsupportedMediaType)
			return
		}
		h.answerGRPC(w, r, grpcEndpoint(r.URL.Path))
	})
}

func (h *Health) answerGRPC(w http.ResponseWriter, r *http.Request, end endpoint) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Cache-Control", "no-store")
	switch end {
	case endRPCALB:
		h.answerALB(w, r)
	case endRPCCheck, endRPCWatch:
		h.answerRPC(w, r, end)
	default:
		grpcStatus(w, grpcUnimplemented, "only Check and Watch are known")
	}
}

// answerALB answers ALB's default call.
func (h *Health) answerALB(w http.ResponseWriter, r *http.Request) {
	switch h.state.Load().verdict(endReady) {
	case verdictOK:
		grpcStatus(w, grpcUnimplemented, "ready")
		h.countRPC(r, endRPCALB, true)
	case verdictDraining:
		grpcStatus(w, grpcUnavailable, "draining")
		h.countRPC(r, endRPCALB, false)
	default:
		grpcStatus(w, grpcUnavailable, "unavailable")
		h.countRPC(r, endRPCALB, false)
	}
}

// countRPC notes down a probe over gRPC that asks once; Watch is none.
func (h *Health) countRPC(r *http.Request, end endpoint, ok bool) {
	code := http.StatusServiceUnavailable
	if ok {
		code = http.StatusOK
	}
	h.counts.add(end, code)
	countProbe(r)
	h.probers.saw(r, code, time.Now())
}

// answerRPC answers Check and Watch.
func (h *Health) answerRPC(w http.ResponseWriter, r *http.Request, end endpoint) {
	// The balancer's profile has no time-out for reading, so a caller that
	// sends nothing is given up here. A writer without deadlines is no server's.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(grpcReadTime))
	name, err := readServiceName(r.Body)
	if err != nil {
		grpcStatus(w, grpcInvalidArgument, err.Error())
		return
	}
	about, ok := serviceEndpoint(name)
	switch {
	case end == endRPCWatch:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		h.watch(w, r, about)
	case !ok:
		grpcStatus(w, grpcNotFound, "unknown service")
	default:
		well := h.state.Load().verdict(about) == verdictOK
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(servingMessage(well))
		w.Header().Set("Grpc-Status", strconv.Itoa(grpcOK))
		if about == endReady {
			h.countRPC(r, end, well)
		}
	}
}

// serviceEndpoint is what a service name of health.proto asks for.
func serviceEndpoint(name string) (endpoint, bool) {
	switch name {
	case "", "readiness":
		return endReady, true
	case "liveness":
		return endLive, true
	case "startup":
		return endStartup, true
	}
	return endNone, false
}

// grpcStatus ends a call without a message ("Trailers-Only" in
// github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func grpcStatus(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Grpc-Status", strconv.Itoa(code))
	w.Header().Set("Grpc-Message", message)
	w.WriteHeader(http.StatusOK)
}

// servingMessage is a HealthCheckResponse in its frame: not compressed, two
// bytes, field 1.
func servingMessage(ok bool) []byte {
	if ok {
		return message(serving)
	}
	return message(notServing)
}

func message(status byte) []byte { return []byte{0, 0, 0, 0, 2, 8, status} }

// Mistakes of a HealthCheckRequest.
var (
	errFrame      = errors.New("the frame is broken")
	errCompressed = errors.New("compressed messages are not read")
	errTooLong    = errors.New("the message is too long")
	errMessage    = errors.New("the message is broken")
)

// readServiceName reads the one message of a request.
func readServiceName(body io.Reader) (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return "", errFrame
	}
	n := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return "", errCompressed
	case n > maxGRPCName:
		return "", errTooLong
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(body, text); err != nil {
		return "", errFrame
	}
	return parseServiceName(text)
}

// parseServiceName reads a HealthCheckRequest: field 1 is the name, others are
// for later versions and skipped. The last one of several counts
// (protobuf.dev/programming-guides/encoding).
func parseServiceName(b []byte) (name string, err error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return "", errMessage
		}
		value, rest, ok := field(b[n:], tag&7)
		if !ok {
			return "", errMessage
		}
		if b = rest; tag == 1<<3|2 {
			name = string(value)
		}
	}
	return name, nil
}

// field takes one field's value off b, by its wire type.
func field(b []byte, wire uint64) (value, rest []byte, ok bool) {
	size, skip := uint64(0), 0
	switch wire {
	case 0:
		_, skip = binary.Uvarint(b)
		if skip <= 0 {
			return nil, nil, false
		}
	case 1:
		size = 8
	case 2:
		if size, skip = binary.Uvarint(b); skip <= 0 {
			return nil, nil, false
		}
	case 5:
		size = 4
	default:
		return nil, nil, false
	}
	if b = b[skip:]; size > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}
