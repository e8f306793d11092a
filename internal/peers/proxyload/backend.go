package proxyload

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// Backend returns the handler that answers every case, and /headers with the request's header fields as JSON. It keeps
// nothing between requests and may serve any number at once.
func Backend() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /1k", fixed(small))
	mux.Handle("GET /64k", fixed(big))
	mux.HandleFunc("GET /stream", stream)
	mux.HandleFunc("POST /post", swallow)
	mux.HandleFunc("GET /ws", echo)
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header) // a client that has gone needs no answer
	})
	return mux
}

// fixed answers n bytes and says so beforehand.
func fixed(n int) http.Handler {
	body := []byte(filler(n))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(body) // a client that has gone needs no answer
	})
}

var piece = []byte(filler(big / flushes))

// stream answers in pieces, each of which leaves at once.
func stream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	control := http.NewResponseController(w)
	for range flushes {
		if _, err := w.Write(piece); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

// swallow takes an upload, and confirms it only if it came whole.
func swallow(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != upload {
		http.Error(w, "not what was sent", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, receipt) // a client that has gone needs no answer
}
