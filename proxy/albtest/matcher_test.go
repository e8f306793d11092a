package albtest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMatcher(t *testing.T) {
	for _, tc := range []struct {
		text    string
		version ProtocolVersion
		pass    []int
		fail    []int
	}{
		{"", HTTP1, []int{200}, []int{199, 201, 301, 404}},
		{"", HTTP2, []int{200}, []int{204}},
		{"", GRPC, []int{12}, []int{0, 11, 13}},
		{"200", HTTP1, []int{200}, []int{201}},
		{"200,202", HTTP1, []int{200, 202}, []int{201, 203}},
		{"200-299", HTTP1, []int{200, 250, 299}, []int{300}},
		{"200-204,301,400-499", HTTP1, []int{204, 301, 404, 499}, []int{205, 302, 399}},
		{"0-99", GRPC, []int{0, 99}, []int{100}},
	} {
		m, err := HealthCheck{Matcher: tc.text}.matcher(tc.version)
		require.NoError(t, err, tc.text)
		for _, code := range tc.pass {
			assert.True(t, m.matches(code), "%q passes %d", tc.text, code)
		}
		for _, code := range tc.fail {
			assert.False(t, m.matches(code), "%q fails %d", tc.text, code)
		}
	}
}

func TestMatcherRefuses(t *testing.T) {
	for _, text := range []string{
		"500", "503", "200-599", "199", "100-200", "299-200", "200-", "-200", "200,", ",200", "200 ,202",
		"2xx", "+200", "200-250-299", "99999999999",
	} {
		_, err := HealthCheck{Matcher: text}.matcher(HTTP1)
		assert.Error(t, err, "%q", text)
	}
	_, err := HealthCheck{Matcher: "100"}.matcher(GRPC)
	assert.Error(t, err)
}
