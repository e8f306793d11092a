package importtest

// A rule says what one package may import beside the standard library.
//
// Names without a dot in their first element are packages of this module. A
// name that ends in "/..." stands for everything below it, "..." for
// everything. Several names are separated by spaces.
type rule struct {
	pkg   string // a package, or everything below "name/..."
	may   string // what its code may import
	tests string // what its tests may import as well; the package itself always
	why   string
}

const (
	module  = "github.com/knownhops/knownhops"
	testify = "github.com/stretchr/testify/..."
)

// rules has a line for every package of the module. A line whose package is
// gone, or that permits one that is gone, fails as much as a missing line.
var rules = []rule{
	{pkg: "forwarded", may: "internal/conferr internal/family internal/hostport internal/turns internal/unverified", tests: "forwarded/forwardedtest",
		why: "it decides whom to believe, so nobody else's code is part of it; its tests bring no testify to those who use it alone"},
	{pkg: "forwarded/forwardedtest",
		why: "a kit that shared a parser with what it judges would share its bugs, so it knows nothing of forwarded, not even in its tests"},
	{pkg: "forwarded/proxyproto", may: "forwarded internal/conferr internal/hostport internal/turns", tests: testify,
		why: "it decides which address everything else believes, so nobody else's code is part of it"},
	{pkg: "redirect", may: "forwarded internal/conferr internal/family internal/hostport internal/turns internal/unverified", tests: "healthcheck proxy proxy/albtest " + testify,
		why: "where it sends people must not hang on anybody else's code; its tests put balancers in front"},
	{pkg: "healthcheck", may: "internal/conferr internal/family internal/hostport", tests: "forwarded redirect proxy proxy/albtest " + testify,
		why: "the outermost handler judges no request, so it needs nothing of the packages that do"},
	{pkg: "proxy", may: "forwarded internal/conferr internal/hostport github.com/gorilla/handlers", tests: testify,
		why: "it writes what forwarded understood; logging and recovering are left to a well-kept library"},
	{pkg: "proxy/albtest", tests: "forwarded healthcheck proxy redirect " + testify,
		why: "an emulator that shared a parser with what it judges would share its bugs; its examples judge this module's own services"},
	{pkg: "tlsterm/sqlstore", may: "internal/conferr github.com/caddyserver/certmagic", tests: testify,
		why: "it holds private keys, so beside the storage it implements nobody else's code is part of it; the driver is the user's"},
	{pkg: "internal/hostport", may: "internal/conferr", tests: testify,
		why: "a leaf: the grammars that several packages must read alike"},
	{pkg: "internal/family", tests: testify,
		why: "a leaf: which header names forward something is asked in several places"},
	{pkg: "internal/turns", tests: testify,
		why: "a leaf: how logs are kept short"},
	{pkg: "internal/unverified",
		why: "a leaf: a way to look, for diagnosis, at what was removed, without exporting it to everybody"},
	{pkg: "internal/conferr", tests: testify,
		why: "a leaf: the one shape of configuration mistakes"},
	{pkg: "internal/importtest", tests: testify,
		why: "it reads the others' source and needs none of them"},
	{pkg: "examples/...", may: "...",
		why: "an example may show anything together with anything"},
}

// A ban is an import path that no package of the module may import. Tests may,
// if the rules let them, unless the ban says otherwise.
type ban struct {
	name  string // as in an import, or everything below "name/..."
	tests bool   // tests may not either
	why   string
}

var bans = []ban{
	{name: module + "/examples/...", tests: true, why: "examples are programs to copy from, not a library"},
	{name: module + "/internal/peers/...", tests: true, why: "its dependencies must reach nobody who uses this module"},
	{name: "expvar", why: "it registers on http.DefaultServeMux"},
	{name: "net/http/pprof", why: "it registers on http.DefaultServeMux"},
}
