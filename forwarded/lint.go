package forwarded

import "fmt"

// A Finding is something that a topology cannot know or should not rely on.
// Codes are stable.
type Finding struct {
	Code    string `json:"code"`
	Hop     string `json:"hop"` // the hop to change
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// lint looks at every hop, nearest first.
func (t *topology) lint() (found []Finding) {
	add := func(code string, i int, message, fix string) {
		found = append(found, Finding{Code: code, Hop: t.nodes[i].name, Message: message, Fix: fix})
	}
	for i := range t.nodes {
		t.lintLosses(i, add)
		t.lintHop(i, add)
		t.lintOverlaps(i, add)
	}
	t.lintConfig(add)
	return found
}

type addFinding func(code string, i int, message, fix string)

// lintLosses names the inner hop that destroys what hop i wrote.
func (t *topology) lintLosses(i int, add addFinding) {
	for k := range kinds {
		rd := &t.nodes[i].read[k]
		if rd.lostBy == 0 {
			continue
		}
		by := rd.lostBy - 1
		what := fmt.Sprintf("%q overwrites or drops %s, which %q wrote", t.nodes[by].name, rd.header, t.nodes[i].name)
		add("overwritten", by, what+": "+lossOf(k), fixOf(k, t.nodes[by].name))
	}
}

func lossOf(k kind) string {
	switch k {
	case kindFor:
		return "the client's address cannot be known"
	case kindProto:
		return "the client's scheme cannot be known"
	}
	return "the client's " + k.String() + " cannot be known"
}

func fixOf(k kind, name string) string {
	switch k {
	case kindFor:
		return fmt.Sprintf("let %q append instead (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for) and say so in its For rule", name)
	case kindProto:
		return fmt.Sprintf("let %q pass it (nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto, or no such line) and set its Proto rule to Passes()", name)
	}
	return fmt.Sprintf("let %q pass it, and set its %s rule to Passes()", name, k)
}

// lintHop judges one hop by itself.
func (t *topology) lintHop(i int, add addFinding) {
	n, h := &t.nodes[i], &t.cfg.Hops[i]
	if !h.For.writes() && !n.proxy {
		add("no_client", i, fmt.Sprintf("%q does not say who connected to it, so no client behind it can be known", n.name),
			"let it add X-Forwarded-For, and declare that in its For rule")
	}
	if !h.Proto.writes() && !n.proxy && i == len(t.nodes)-1 {
		add("no_scheme", i, fmt.Sprintf("%q does not say which scheme was used to reach it", n.name),
			"let it set X-Forwarded-Proto (CloudFront: CloudFront-Forwarded-Proto through an origin request policy), and declare that in its Proto rule")
	}
	if h.Shared && n.proof == nil {
		add("shared", i, fmt.Sprintf("others rent the addresses of %q: their proxies are believed too", n.name),
			"let yours send a secret header, and declare it in Secret")
	}
	if n.from.Any() {
		add("any_peer", i, fmt.Sprintf("everybody is taken for %q: whoever reaches the port writes his own address", n.name),
			"keep AnyPeer only where the platform's router is the only way in")
	}
	if h.ReplacesHost && !n.read[kindHost].readable() {
		add("host_replaced", i, fmt.Sprintf("%q sends a Host of its own, so the client's is unknown", n.name),
			"let it pass Host (nginx: proxy_set_header Host $host; Apache: ProxyPreserveHost On), and set ReplacesHost to false")
	}
	if h.ClientCert.writes() && t.cfg.ClientCAs == nil {
		add("no_client_cas", i, fmt.Sprintf("%q hands on client certificates, and nothing says who may have signed them", n.name),
			"set Config.ClientCAs; without it no certificate is accepted")
	}
}

// lintOverlaps finds the one thing that addresses cannot decide.
func (t *topology) lintOverlaps(i int, add addFinding) {
	for j := i + 1; j < len(t.nodes); j++ {
		if where, ok := t.nodes[i].from.Overlap(&t.nodes[j].from); ok {
			add("overlap", j, fmt.Sprintf("%q and %q share addresses (%s): a client there that skips a hop can choose what comes next",
				t.nodes[i].name, t.nodes[j].name, where), "narrow both From lists to the proxies' own addresses")
		}
	}
}

func (t *topology) lintConfig(add addFinding) {
	if !t.cfg.SchemeFromPort || len(t.nodes) == 0 {
		return
	}
	last := len(t.nodes) - 1
	if !t.nodes[last].read[kindPort].readable() && !t.nodes[last].proxy {
		add("no_port", last, fmt.Sprintf("SchemeFromPort is set, but no port of %q can be read", t.nodes[last].name),
			"remove SchemeFromPort, or let the hop set X-Forwarded-Port")
	}
}
