// Package standard makes logrus' own standard logger behave as the one that plugins share with Tyk: its
// lines go to the gateway's log, and Fatal fails the call and does not end the process. The glue of plugins
// that import logrus imports it, so that it is set up before the plugin's own init can change it again.
package standard

import (
	"github.com/sirupsen/logrus"

	"github.com/TykTechnologies/tyk/log"
)

func init() {
	ours := log.Get()
	logger := logrus.StandardLogger()
	logger.SetFormatter(ours.Formatter)
	logger.SetOutput(ours.Out)
	logger.ExitFunc = ours.ExitFunc
}
