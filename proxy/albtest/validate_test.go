package albtest

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigErrors(t *testing.T) {
	long := make([]byte, 1025)
	_, err := New(Config{
		Attributes: Attributes{XFFHeaderProcessing: 9, DesyncMitigation: 9, IdleTimeout: time.Millisecond, ClientKeepAlive: time.Second},
		InMemory:   true,
		Listeners: []Listener{
			{Port: 0, TLS: &TLS{MutualAuthentication: Verify}, Default: Redirect{Protocol: "HTTP", Port: "x", Path: "p", Query: "?", StatusCode: 307}},
			{Port: 80, Default: Redirect{Port: "#{port}"}, Rules: []Rule{
				{Priority: 1, Conditions: []Condition{HostHeader{"nodot"}, PathPattern{}, HTTPHeader{"Host", []string{"?"}}, RequestMethod{"G T"}, QueryString{{}}, SourceIP{"192.0.2.1"}, nil}, Action: Forward{{"none", 1000}}},
				{Priority: 1, Conditions: []Condition{PathPattern{"******"}}},
				{Priority: 2, Action: FixedResponse{StatusCode: 301, ContentType: "x", MessageBody: string(long)}},
			}},
			{Port: 80, Attributes: ListenerAttributes{ResponseHeaders: map[string]string{"a b": ""}, RenameHeaders: map[string]string{"Host": "x"}}},
			{Port: 81, Default: ForwardTo("grpc")},
		},
		TargetGroups: map[string]TargetGroup{
			"app": {
				Targets:  []Target{{}, {Addr: "nohost"}, {Handler: http.NotFoundHandler(), Absent: true, Port: -1}},
				Protocol: 9, Port: -1, DeregistrationDelay: 2 * time.Hour, SlowStart: time.Second, Algorithm: LeastOutstandingRequests, Stragglers: -1,
				HealthCheck: HealthCheck{Interval: time.Second, Timeout: 3 * time.Second, HealthyThreshold: 1, UnhealthyThreshold: 11, Path: "x", Port: -1, Protocol: 9, Matcher: "500"},
			},
			"grpc": {ProtocolVersion: GRPC},
		},
		Nodes:    []netip.Addr{{}},
		Unknowns: Unknowns{MaxLocation: -1},
	})
	var errs ConfigErrors
	require.ErrorAs(t, err, &errs)
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
		assert.NotEmpty(t, e.Reason)
	}
	assert.Equal(t, []string{
		"Attributes.XFFHeaderProcessing", "Attributes.DesyncMitigation", "Attributes.IdleTimeout", "Attributes.ClientKeepAlive",
		"Listeners[0].Port", "Listeners[0].TLS.TrustStore", "Listeners[0].Default.Protocol", "Listeners[0].Default.Port",
		"Listeners[0].Default.Path", "Listeners[0].Default.Query", "Listeners[0].Default.StatusCode",
		"Listeners[1].Rules[0].Conditions[0]", "Listeners[1].Rules[0].Conditions[1]", "Listeners[1].Rules[0].Conditions[2].Name",
		"Listeners[1].Rules[0].Conditions[3]", "Listeners[1].Rules[0].Conditions[4][0].Value", "Listeners[1].Rules[0].Conditions[5]",
		"Listeners[1].Rules[0].Conditions[6]", "Listeners[1].Rules[0].Action[0].Group", "Listeners[1].Rules[0].Action[0].Weight",
		"Listeners[1].Rules[1].Priority", "Listeners[1].Rules[1].Conditions", "Listeners[1].Rules[1].Action",
		"Listeners[1].Rules[2].Conditions", "Listeners[1].Rules[2].Action.StatusCode", "Listeners[1].Rules[2].Action.ContentType", "Listeners[1].Rules[2].Action.MessageBody",
		"Listeners[1].Default",
		"Listeners[2].Port", "Listeners[2].Default", "Listeners[2].Attributes.ResponseHeaders", "Listeners[2].Attributes.RenameHeaders",
		"Listeners[3].Default[0].Group",
		`TargetGroups["app"].Targets[0]`, `TargetGroups["app"].Targets[1].Addr`, `TargetGroups["app"].Targets[1].Addr`,
		`TargetGroups["app"].Targets[2]`, `TargetGroups["app"].Targets[2].Port`,
		`TargetGroups["app"]`, `TargetGroups["app"].Port`, `TargetGroups["app"].DeregistrationDelay`, `TargetGroups["app"].SlowStart`, `TargetGroups["app"].SlowStart`, `TargetGroups["app"]`,
		`TargetGroups["app"].HealthCheck.Interval`, `TargetGroups["app"].HealthCheck.Timeout`, `TargetGroups["app"].HealthCheck.HealthyThreshold`, `TargetGroups["app"].HealthCheck.UnhealthyThreshold`,
		`TargetGroups["app"].HealthCheck.Path`, `TargetGroups["app"].HealthCheck.Port`, `TargetGroups["app"].HealthCheck.Protocol`, `TargetGroups["app"].HealthCheck.Matcher`,
		"Nodes[0]", "Unknowns",
	}, fields)
	var one ConfigError
	require.ErrorAs(t, err, &one)
	assert.Equal(t, fields[0], one.Field)
	assert.Equal(t, "Attributes.IdleTimeout: \"1ms\": out of AWS's range; choose 1s to 1h6m40s", errs[2].Error())
}

func TestZeroConfigIsRefused(t *testing.T) {
	_, err := New(Config{})
	var errs ConfigErrors
	require.ErrorAs(t, err, &errs)
	require.Len(t, errs, 1)
	assert.Equal(t, "Listeners", errs[0].Field)
}

// reporter is a test that notes what it is told.
type reporter struct {
	failed   []string
	cleanups []func()
}

func (r *reporter) Helper()                           {}
func (r *reporter) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *reporter) Errorf(format string, args ...any) { r.failed = append(r.failed, format) }
func (r *reporter) Fatalf(format string, args ...any) {
	r.failed = append(r.failed, format)
	panic(errFatal)
}

var errFatal = errors.New("the test ends")

func TestStartReportsMistakes(t *testing.T) {
	r := &reporter{}
	assert.PanicsWithError(t, errFatal.Error(), func() { Start(r, Config{}) })
	assert.Len(t, r.failed, 1)
	assert.Empty(t, r.cleanups)
}
