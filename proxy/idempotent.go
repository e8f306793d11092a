package proxy

import "net/http"

// idempotent reports whether a request may be sent again although the first
// one may have been carried out (RFC 9110 §9.2.2; the header is what clients
// use to say so of other methods).
func idempotent(method string, h http.Header) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil
}
