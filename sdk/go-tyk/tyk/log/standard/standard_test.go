package standard

import (
	"bytes"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestFatalOfTheStandardLoggerDoesNotExit(t *testing.T) {
	var out bytes.Buffer
	logrus.SetOutput(&out)
	defer func() {
		if recover() == nil {
			t.Error("expected a panic, which fails the call or the loading")
		}
		if out.String() != "level=error over n=1\n" {
			t.Errorf("found %q", out.String())
		}
	}()
	logrus.WithField("n", 1).Fatal("over")
}
