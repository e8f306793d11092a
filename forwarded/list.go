package forwarded

import "strings"

// Budgets for headers that anybody can write. RFC 9110 §5.6.1.2 asks
// recipients to ignore "a reasonable number" of empty elements; more than
// these are refused, which no sender of ours needs.
const (
	maxScan  = 4096 // bytes looked at in one header
	maxEmpty = 8    // empty elements among them
	maxItem  = 128  // bytes of one element that are looked at one by one
)

// A list reads one comma-separated header from its right end, where the
// nearest hop wrote, and never looks further left than it is asked to. Several
// lines are one list, in order (RFC 9110 §5.3).
type list struct {
	lines  []string
	quoted bool // Forwarded, whose commas may stand in quotes
	line   int  // the line being read
	end    int  // how much of it is unread; -1: nothing, not even an empty element
	spent  int
	empty  int
}

func newList(header string, lines []string) (l list) {
	l.start(header, lines)
	return l
}

// start begins at the right end of a header's lines.
func (l *list) start(header string, lines []string) {
	l.lines, l.quoted = lines, header == rfc7239
	l.line, l.end, l.spent, l.empty = len(lines), -1, 0, 0
}

// more reports whether anything stands to the left of what was read.
func (l *list) more() bool { return l.end >= 0 || l.line > 0 }

// prev returns the next element to the left that is not empty, trimmed. The
// Reason is zero, ReasonMismatch at the end of the list, or ReasonTooLong.
func (l *list) prev() (item string, why Reason) {
	for item == "" && why == 0 {
		s, ok := l.unread()
		if !ok {
			return "", ReasonMismatch
		}
		end := trimRight(s)
		start := 0
		if l.quoted {
			start, why = elementStart(s, end)
		} else {
			start = itemStart(s, end)
		}
		if why == 0 {
			item, why = l.take(s, start, end)
		}
	}
	return item, why
}

// itemStart finds where the last element of s[:end] begins.
func itemStart(s string, end int) int {
	start := end
	for start > 0 && s[start-1] != ',' && end-start <= maxItem {
		start--
	}
	if end-start > maxItem {
		return longStart(s[:end])
	}
	return start
}

// longStart finds where the last element of s begins, if the budget allows to
// look so far.
func longStart(s string) int {
	from := max(0, len(s)-maxScan)
	if strings.IndexByte(s[from:], ',') < 0 { // many times faster than the search from the right
		return from
	}
	return from + strings.LastIndexByte(s[from:], ',') + 1
}

// unread returns the rest of the current line, or of the one before it.
func (l *list) unread() (string, bool) {
	if l.end < 0 {
		if l.line == 0 {
			return "", false
		}
		l.line--
		l.end = len(l.lines[l.line])
	}
	return l.lines[l.line][:l.end], true
}

// take accounts for s[start:], and returns the element s[start:end] trimmed.
// It is empty if it does not count.
func (l *list) take(s string, start, end int) (string, Reason) {
	l.spent += len(s) - start + 1
	l.end = start - 1
	if l.spent > maxScan || start > 0 && s[start-1] != ',' {
		return "", ReasonTooLong
	}
	for start < end && isSpace(s[start]) {
		start++
	}
	if start < end {
		return s[start:end], 0
	}
	if l.empty++; l.empty > maxEmpty {
		return "", ReasonTooLong
	}
	return "", 0
}

// place returns where in its line the element read last begins.
func (l *list) place() (line, offset int) {
	s := l.lines[l.line]
	offset = l.end + 1
	for offset < len(s) && isSpace(s[offset]) {
		offset++
	}
	return l.line, offset
}

// isSpace is OWS: SP and HTAB only (RFC 9110 §5.6.3), unlike strings.TrimSpace.
func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// trimRight returns the length of s without the white space at its end, which
// is looked at up to the budget.
func trimRight(s string) int {
	end := len(s)
	for end > 0 && len(s)-end <= maxScan && isSpace(s[end-1]) {
		end--
	}
	return end
}
