package healthcheck

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxNamed is how many requests a LostError names in its text.
const maxNamed = 8

// A LostError says what [Serve] had to break off. A drain that lost nothing
// has none. What was sent to a port or into a connection that was closed already
// is not in it: the process never learns of that.
type LostError struct {
	// Requests were being answered when their connections were closed; oldest first.
	Requests []LostRequest

	// Tracked are the connections taken over by their handlers ([Health.Track])
	// that were still open, by name.
	Tracked map[string]int

	// Dropped is how many requests arrived too late, whole or in part: net/http
	// closes their connections without an answer once the shutdown has begun.
	Dropped int

	// Cause is what ended the patience: "the time was up" or "a second signal".
	Cause string
}

// A LostRequest is one that was not answered to its end.
type LostRequest struct {
	Method string
	Path   string        // without the query, which may have secrets in it
	Age    time.Duration // since it came
}

// String returns the request in a few words.
func (r LostRequest) String() string {
	return fmt.Sprintf("%s %s after %v", r.Method, printable(r.Path), r.Age.Round(time.Millisecond))
}

// printable quotes a path that could begin a line of its own in a log.
func printable(path string) string {
	path = clip(path, maxPathShown)
	if quoted := strconv.QuoteToASCII(path); len(quoted) != len(path)+2 {
		return quoted
	}
	return path
}

// Error says it in one sentence, and names the eight oldest requests.
func (e *LostError) Error() string {
	var lost []string
	if n := len(e.Requests); n > 0 {
		lost = append(lost, count(n, "request", "requests")+" in flight ("+e.named()+")")
	}
	for _, name := range slices.Sorted(maps.Keys(e.Tracked)) {
		lost = append(lost, count(e.Tracked[name], "tracked connection", "tracked connections")+" ("+name+")")
	}
	if e.Dropped > 0 {
		lost = append(lost, count(e.Dropped, "request", "requests")+" that came too late")
	}
	text := "healthcheck: lost " + strings.Join(lost, ", ")
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

// named lists the oldest requests.
func (e *LostError) named() string {
	names := make([]string, 0, maxNamed+1)
	for _, r := range e.Requests[:min(len(e.Requests), maxNamed)] {
		names = append(names, r.String())
	}
	if more := len(e.Requests) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// none reports whether nothing was lost.
func (e *LostError) none() bool {
	return len(e.Requests) == 0 && len(e.Tracked) == 0 && e.Dropped == 0
}

// count puts a number before its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
