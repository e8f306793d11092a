package redirect

import (
	"strconv"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
)

// HSTS is the header Strict-Transport-Security (RFC 6797), which makes browsers
// use https by themselves. The zero value sends none. A browser that has seen
// it cannot be called back before MaxAge is over, except over https with Clear:
// begin with OneHour and go on to OneWeek and OneYear when nothing has broken.
type HSTS struct {
	MaxAge            time.Duration // whole seconds; 0: no header; -1: see Clear
	IncludeSubDomains bool          // every name below the host too, https or not
	Preload           bool          // agrees to be put into browsers (hstspreload.org), which is for good
}

// Values for Config.HSTS. They are to be read, not changed.
var (
	OneHour = HSTS{MaxAge: time.Hour}
	OneWeek = HSTS{MaxAge: 7 * 24 * time.Hour}
	OneYear = HSTS{MaxAge: year}

	// Preload is what hstspreload.org demands: two years, all subdomains. The
	// bare domain must be the canonical host or an alias.
	Preload = HSTS{MaxAge: 2 * year, IncludeSubDomains: true, Preload: true}

	// Clear makes browsers forget (max-age=0, RFC 6797 §6.1.1). It works over
	// https only, so a host that turns away from https must keep it for as long
	// as MaxAge was.
	Clear = HSTS{MaxAge: forget}
)

const (
	year   = 365 * 24 * time.Hour
	forget = time.Duration(-1)
)

// String is the header's value, "" for the zero HSTS.
func (h HSTS) String() string {
	switch {
	case h.MaxAge == 0:
		return ""
	case h.MaxAge == forget:
		return "max-age=0"
	}
	s := "max-age=" + strconv.FormatInt(int64(h.MaxAge/time.Second), 10)
	if h.IncludeSubDomains {
		s += "; includeSubDomains"
	}
	if h.Preload {
		s += "; preload"
	}
	return s
}

// own is the header for one host alone.
func (h HSTS) own() HSTS {
	h.IncludeSubDomains, h.Preload = false, false
	return h
}

func (h HSTS) check(errs *conferr.Errors) {
	if reason, fix := h.badMaxAge(); reason != "" {
		errs.Add("HSTS.MaxAge", h.MaxAge.String(), reason, fix)
	}
	switch {
	case h.MaxAge == forget && h != Clear:
		errs.Add("HSTS", h.MaxAge.String(), "Clear has no other fields", "use Clear as it is")
	case h.Preload && !h.IncludeSubDomains:
		errs.Add("HSTS.IncludeSubDomains", "false", "browsers preload no domain without its subdomains", "use Preload as it is")
	}
}

func (h HSTS) badMaxAge() (reason, fix string) {
	switch {
	case h.MaxAge == 0 && h != (HSTS{}):
		return "no header is sent without it", "give it a time, or leave HSTS zero"
	case h.MaxAge == forget:
		return "", ""
	case h.MaxAge < 0:
		return "a negative time", "use Clear to make browsers forget"
	case h.MaxAge%time.Second != 0:
		return "no whole seconds, which is what the header counts", "use OneHour, or round it"
	case h.Preload && h.MaxAge < year:
		return "less than the year that preloading demands", "use Preload as it is"
	}
	return "", ""
}
