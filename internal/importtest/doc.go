// Package importtest holds no code: its tests keep the packages of this module
// apart. Which package may import which is a table with a reason in each line
// (rules_test.go); the tests also look for what no package here may do, such
// as registering on http.DefaultServeMux.
//
// All files count, whatever system they are built for. Nested modules are not
// looked at.
package importtest
