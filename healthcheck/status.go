package healthcheck

import "strconv"

// A Status is what a check means for the service, or all of them together, in
// the words of draft-inadarei-api-health-check-06. The zero Status is Pass.
type Status uint8

const (
	Pass Status = iota // all is well
	Warn               // something fails; the service takes requests all the same
	Fail               // the service must get no requests
)

var statusNames = [...]string{Pass: "pass", Warn: "warn", Fail: "fail"}

// String is "pass", "warn" or "fail".
func (s Status) String() string {
	if int(s) >= len(statusNames) {
		return "Status(" + strconv.Itoa(int(s)) + ")"
	}
	return statusNames[s]
}

// MarshalText writes the word.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
