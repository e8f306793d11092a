package albtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

const traceHeader = "X-Amzn-Trace-Id"

// maxTraced is how large a head may be for the client's trace id to be kept.
const maxTraced = 7 << 10

// newTraceID makes a value for Root or Self: version, seconds, 96 random bits.
func newTraceID(now time.Time) string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	return fmt.Sprintf("1-%08x-%s", uint32(now.Unix()), hex.EncodeToString(id[:]))
}

// traceValue is X-Amzn-Trace-Id for the target. A Root of the client is kept,
// with its other fields, behind a Self of our own.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
func traceValue(sent string, headSize int, now time.Time) string {
	root, others := traceFields(sent)
	switch {
	case root == "":
		return strings.Join(append([]string{"Root=" + newTraceID(now)}, others...), ";")
	case headSize > maxTraced:
		return "Root=" + root
	}
	return "Self=" + newTraceID(now) + ";" + strings.Join(others, ";")
}

// traceFields finds Root and returns every field but Self, in order.
func traceFields(sent string) (root string, others []string) {
	for item := range strings.SplitSeq(sent, ";") {
		item = strings.TrimSpace(item)
		name, value, _ := strings.Cut(item, "=")
		switch {
		case item == "" || strings.EqualFold(name, "Self"):
			continue
		case strings.EqualFold(name, "Root"):
			root = value
		}
		others = append(others, item)
	}
	return root, others
}
