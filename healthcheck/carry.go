package healthcheck

import (
	"context"
	"log"
	"net"
	"net/http"
)

// profileKey is where a server's base context has its Profile.
type profileKey struct{}

// carry notes the profile in the server, in each of two fields that is zero:
// a server has no room for it, and a table of servers would be a global one.
func carry(srv *http.Server, p Profile) {
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(errorLog{profile: p}, "", 0)
	}
	if srv.BaseContext == nil {
		srv.BaseContext = func(net.Listener) context.Context {
			return context.WithValue(context.Background(), profileKey{}, p)
		}
	}
}

// carried returns the profile that was noted in a server. The listener is one
// that it is about to serve, since a BaseContext of the user's may look at it.
func carried(srv *http.Server, l net.Listener) (Profile, bool) {
	if srv.ErrorLog != nil {
		if w, ok := srv.ErrorLog.Writer().(errorLog); ok {
			return w.profile, true
		}
	}
	if srv.BaseContext == nil {
		return Profile{}, false
	}
	ctx := srv.BaseContext(l)
	if ctx == nil {
		return Profile{}, false // net/http is about to complain
	}
	p, ok := ctx.Value(profileKey{}).(Profile)
	return p, ok
}

// patient returns the profile by which several servers are drained together:
// the longest waits of any, within the shortest kill budget. Without a profile
// it is [ALB].
func patient(profiles []Profile) Profile {
	if len(profiles) == 0 {
		return ALB()
	}
	all := profiles[0]
	for _, p := range profiles[1:] {
		if p.takeOut() > all.takeOut() {
			all.Name = p.Name
		}
		all.SharedAddress = all.SharedAddress || p.SharedAddress
		all.ProbeInterval = max(all.ProbeInterval, p.ProbeInterval)
		all.UnhealthyThreshold = max(all.unhealthyThreshold(), p.unhealthyThreshold())
		all.Quiet = max(all.quiet(), p.quiet())
		all.Wait = max(all.wait(), p.wait())
		all.Shutdown = max(all.shutdown(), p.shutdown())
		if p.KillBudget > 0 && (all.KillBudget == 0 || p.KillBudget < all.KillBudget) {
			all.KillBudget = p.KillBudget
		}
	}
	return all
}
