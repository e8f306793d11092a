package redirect

import "strconv"

// maxShown is how much of what a client wrote a log shows.
const maxShown = 128

// shown quotes what a client wrote, so that nothing in it can begin a line of
// its own or steer a terminal, and cuts it.
func shown(value string) string {
	if len(value) > maxShown {
		return strconv.QuoteToASCII(value[:maxShown]) + "…"
	}
	return strconv.QuoteToASCII(value)
}

// legible is shown, without quotes where it needs none.
func legible(value string) string {
	if len(value) > maxShown {
		return shown(value)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return shown(value)
		}
	}
	return value
}
