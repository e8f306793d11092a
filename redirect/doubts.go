package redirect

// A doubt is a configuration that is legal and probably not meant.
type doubt struct {
	holds        bool
	message, fix string
}

// warn says at the start what may not be meant.
func (e *Enforcer) warn() {
	for _, d := range e.doubts() {
		if d.holds {
			e.logger().Warn("redirect: "+d.message, "fix", d.fix)
		}
	}
}

func (e *Enforcer) doubts() []doubt {
	c := &e.cfg
	plain := e.hosts.plainBelow()
	return []doubt{{
		plain != "",
		"HSTS with includeSubDomains makes browsers refuse http for " + plain + ", one of PlainHosts",
		"leave out IncludeSubDomains, or give that host another domain",
	}, {
		c.HSTS.MaxAge > 0 && c.HTTPSPort != 0 && c.HTTPSPort != 443,
		"browsers that know HSTS turn http://" + c.Canonical + " into https on port 443 by themselves, and HTTPSPort is another",
		"serve https on port 443 as well, or leave HSTS zero",
	}, {
		c.RequireProxy && c.Policy != nil && len(c.Policy.Config().Hops) == 0,
		"RequireProxy refuses every request, since Policy declares no hops",
		"declare the hops, or leave RequireProxy false",
	}, {
		c.RefuseWithoutProof && c.DangerouslyAnyHost && c.Proof == nil,
		"RefuseWithoutProof refuses http for every host that the Config does not name, since only Proof could prove https for it",
		"set Proof, or name the hosts",
	}}
}
