package healthcheck

import (
	"net/url"
	"path"
)

// Paths says where [Health.Wrap] answers. Each is compared exactly: neither
// "/healthz/" nor "/HEALTHZ" nor "/%68ealthz" is "/healthz"; a query does not
// matter. An empty path is the default named at the field. Health and Ready may
// be the same, the others not.
type Paths struct {
	Health  string // readiness, under the name that most balancers are given: /healthz
	Ready   string // readiness: /readyz
	Live    string // liveness: /livez
	Startup string // whether every Startup check has passed once: /startupz
}

// filled puts the defaults in.
func (p Paths) filled() Paths {
	for _, f := range p.fields() {
		if *f.value == "" {
			*f.value = f.otherwise
		}
	}
	return p
}

// A pathField is one field of Paths.
type pathField struct {
	name      string
	value     *string
	otherwise string
	end       endpoint
}

func (p *Paths) fields() []pathField {
	return []pathField{
		{"Health", &p.Health, "/healthz", endReady},
		{"Ready", &p.Ready, "/readyz", endReady},
		{"Live", &p.Live, "/livez", endLive},
		{"Startup", &p.Startup, "/startupz", endStartup},
	}
}

// endpoint says which question a request to u asks. An escaped path, which has
// a RawPath, is not exact: what is behind this handler may read it differently.
func (p *Paths) endpoint(u *url.URL) endpoint {
	if u.RawPath != "" {
		return endNone
	}
	switch u.Path {
	case p.Health, p.Ready:
		return endReady
	case p.Live:
		return endLive
	case p.Startup:
		return endStartup
	}
	return endNone
}

func (p Paths) validate(errs *ConfigErrors) {
	full := p.filled()
	seen := make(map[string]pathField)
	given := p.fields()
	for i, f := range full.fields() {
		why := badPath(*f.value)
		if first, dup := seen[*f.value]; dup && first.end != f.end {
			why = "Paths." + first.name + " is the same path"
		}
		seen[*f.value] = f
		if why != "" {
			errs.Add("Paths."+f.name, *given[i].value, why, `write one like "`+f.otherwise+`"`)
		}
	}
}

// badPath says what is wrong with a path, if anything.
func badPath(p string) string {
	switch {
	case p[0] != '/':
		return "a path begins with a slash"
	case p == "/":
		return "the front page of the service would never be seen"
	case (&url.URL{Path: p}).EscapedPath() != p:
		return "a path needs no escapes and has no query"
	case path.Clean(p) != p && path.Clean(p)+"/" != p:
		return "no path with empty or dotted parts arrives as it was written"
	case grpcEndpoint(p) != endNone:
		return "gRPC asks there"
	}
	return ""
}
