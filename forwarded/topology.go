package forwarded

import (
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/knownhops/knownhops/internal/family"
	"github.com/knownhops/knownhops/internal/hostport"
	"github.com/knownhops/knownhops/internal/turns"
)

// A topology is a compiled Config: for each hop, where in which header its
// words stand. It is immutable, but for usualHost, which changes no answer.
type topology struct {
	limits *turns.Limiter // the Policy's own, which tells whose topology it is
	cfg    Config
	nodes  []node
	hosts  hostport.HostSet

	usualHost atomic.Pointer[string] // a host that parseHost has accepted as it stood

	secrets []string // headers that carry one
	extra   []string // headers that hops write and that are not in the family, folded
}

// A node is a compiled hop.
type node struct {
	name         string
	from         hostport.Sources
	self         hostport.Sources
	proof        *proof
	proxy        bool // the client comes from a PROXY header
	proxyScheme  bool // so does the scheme
	replacesHost bool // this hop or one further in does
	relayed      bool // a hop further in says something of this one's connection
	read         [kinds]reading
	writes       []string // every header that it leaves a value in
	vouches      []string // further headers that it replaces or removes
	keeps        []keep   // what stays of the request's headers when the walk ends here
}

// A reading says where a hop's own word of one kind stands. Positions are
// fixed when the Policy is made: how many entries hops further in add to the
// right of it.
type reading struct {
	header  string // "": the hop writes none
	pos     int    // entries to the right of it
	exact   bool   // the hop replaced what came, so nothing may stand to its left
	self    bool   // an address of its own stands right of it, included in pos
	single  bool   // the word can be all of the header: no list, no RFC 7239
	relayed bool   // a hop further in says it, as it understood it
	lostBy  int    // 1 + the index of the inner hop that destroys it; 0: none
}

// readable reports whether the hop writes the header and the word survives.
func (rd *reading) readable() bool { return rd.header != "" && rd.lostBy == 0 }

// A keep is a header that may stay in a request, and how many of its entries.
type keep struct {
	header  string
	kinds   uint8 // a bit for each kind that is read from it
	list    bool  // more than the count may be there
	vouched bool  // nothing is read from it: a hop that was consumed answers for it
	count   int
}

// compileNodes assumes valid hops.
func (t *topology) compileNodes() {
	hops, nodes := t.cfg.Hops, t.nodes
	for i := range hops {
		n := &nodes[i]
		n.name = hopName(hops, i)
		n.proxy = hops[i].speaksPROXY()
		n.proxyScheme = hops[i].Proto.op == fromPROXY
		n.replacesHost = hops[i].ReplacesHost || i > 0 && nodes[i-1].replacesHost
		for k := range kinds {
			n.read[k] = compileReading(hops, i, k)
			n.relayed = n.relayed || n.read[k].relayed
			if h := n.read[k].header; h != "" && !slices.Contains(n.writes, h) {
				n.writes = append(n.writes, h)
			}
		}
		for _, name := range hops[i].Vouches {
			n.vouches = append(n.vouches, http.CanonicalHeaderKey(name))
		}
		n.keeps = compileKeeps(nodes[:i+1])
		t.noteNames(n)
	}
}

// noteNames collects the names that a look over a request's headers needs
// beside the family's.
func (t *topology) noteNames(n *node) {
	if n.proof != nil {
		t.secrets = append(t.secrets, n.proof.header)
	}
	for _, name := range slices.Concat(n.writes, n.vouches) {
		if member, _ := family.Has(name); !member {
			t.extra = append(t.extra, family.Folded(name))
		}
	}
}

// declares reports whether any hop leaves a value in the header or vouches for it.
func (t *topology) declares(name string) bool {
	return slices.ContainsFunc(t.nodes, func(n node) bool {
		return slices.Contains(n.writes, name) || slices.Contains(n.vouches, name)
	})
}

func compileReading(hops []Hop, i int, k kind) reading {
	rd := ownReading(*hops[i].rule(k))
	for j := i - 1; j >= 0; j-- {
		if rule := *hops[j].rule(k); rule.op == relays {
			rd = reading{header: rule.header, exact: true, relayed: true}
			continue // whatever the hops further out have done to the header
		}
		if rd.header == "" || rd.lostBy != 0 {
			continue
		}
		added, erased := hops[j].effect(rd.header, k)
		if erased {
			rd.lostBy = j + 1
		}
		rd.pos += added
	}
	rd.single = rd.pos == 0 && rd.header != rfc7239
	return rd
}

// ownReading is where a hop's word stands when it leaves the hop.
func ownReading(rule Rule) reading {
	switch rule.op {
	case sets, relays:
		return reading{header: rule.header, exact: true}
	case appends:
		return reading{header: rule.header}
	case appendsSelf:
		return reading{header: rule.header, self: true, pos: 1}
	}
	return reading{}
}

// effect says what the hop does to another hop's word of kind k in header:
// how many entries it adds, or that it destroys it. Two rules concern each
// other only if they name the same header; Forwarded holds several kinds.
func (h *Hop) effect(header string, k kind) (added int, erased bool) {
	for own := range kinds {
		rule := *h.rule(own)
		switch {
		case rule.op == drops && rule.header == "":
			erased = erased || own == k || header == rfc7239 && own <= kindHost
		case rule.dropsHeader(header), rule.op == sets && rule.header == header:
			erased = true
		case rule.op == appends && rule.header == header:
			added = 1
		case rule.op == appendsSelf && rule.header == header:
			added = 2
		}
	}
	return added, erased
}

// compileKeeps lists the headers that answer for a walk that ends at the last
// of nodes: each consumed hop's For, and the last one's other kinds.
func compileKeeps(nodes []node) []keep {
	var keeps []keep
	add := func(rd *reading, k kind) {
		if !rd.readable() {
			return
		}
		i := slices.IndexFunc(keeps, func(kp keep) bool { return kp.header == rd.header })
		if i < 0 {
			i = len(keeps)
			keeps = append(keeps, keep{header: rd.header})
		}
		keeps[i].kinds |= 1 << k
		keeps[i].count = max(keeps[i].count, rd.pos+1)
		keeps[i].list = keeps[i].list || !rd.exact
	}
	for i := range nodes {
		add(&nodes[i].read[kindFor], kindFor)
	}
	last := &nodes[len(nodes)-1]
	for k := kindProto; k < kinds; k++ {
		add(&last.read[k], k)
	}
	for i := range nodes {
		for _, name := range nodes[i].vouches {
			keeps = append(keeps, keep{header: name, vouched: true})
		}
	}
	return keeps
}
