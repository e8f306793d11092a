package healthcheck

import (
	"net/http"
	"strconv"
	"time"
)

// watch tells a caller how the service is and each change of it, until one of
// the two leaves. A drain ends it: the caller has been told, and the server
// could not stop otherwise.
func (h *Health) watch(w http.ResponseWriter, r *http.Request, about endpoint) {
	if h.watchers.Add(1) > maxWatchers {
		h.watchers.Add(-1)
		grpcStatus(w, grpcResourceExhausted, "too many watchers")
		return
	}
	defer h.watchers.Add(-1)
	w.Header().Set("Trailer", "Grpc-Status")
	defer w.Header().Set("Grpc-Status", strconv.Itoa(grpcUnavailable))
	stream := http.NewResponseController(w)
	last := byte(0)
	for {
		s := h.current()
		if now := watched(s, about); now != last {
			last = now
			_ = stream.SetWriteDeadline(time.Now().Add(grpcReadTime)) // for a caller that takes nothing, and would hold up a drain
			if _, err := w.Write(message(now)); err != nil || stream.Flush() != nil {
				return
			}
			_ = stream.SetWriteDeadline(time.Time{})
			h.counts.add(endRPCWatch, watchCode(now))
		}
		if s.ready == verdictDraining {
			return
		}
		select {
		case <-s.changed:
		case <-r.Context().Done():
			return
		}
	}
}

// watched is the ServingStatus of what is watched. health.proto asks for
// SERVICE_UNKNOWN, and no end, for a name that is not known.
func watched(s *state, about endpoint) byte {
	switch {
	case about == endNone:
		return serviceUnknown
	case s.verdict(about) == verdictOK:
		return serving
	}
	return notServing
}

func watchCode(status byte) int {
	if status == serving {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}
