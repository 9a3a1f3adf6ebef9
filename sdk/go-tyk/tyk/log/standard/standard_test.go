package standard

import (
	"bytes"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestFatalOfTheStandardLoggerDoesNotExit(t *testing.T) {
	var out bytes.Buffer
	logrus.SetOutput(&out)
	ended := make(chan string, 2)
	go func() {
		defer close(ended)
		logrus.WithField("n", 1).Fatal("over")
		ended <- "Fatal came back"
	}()
	if back, came := <-ended; came {
		t.Error(back)
	}
	if out.String() != "level=error over n=1\n" {
		t.Errorf("found %q", out.String())
	}
}
