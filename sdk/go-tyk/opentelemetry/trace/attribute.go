package trace

import (
	"fmt"
	"reflect"

	"go.opentelemetry.io/otel/attribute"
)

// Attribute is a name and a value.
type Attribute = attribute.KeyValue

// NewAttribute makes an attribute of texts, numbers, truths, pointers to them and lists of them, and of what
// tells itself as a text; of everything else it takes what fmt prints.
func NewAttribute(key string, value interface{}) Attribute {
	name := attribute.Key(key)
	switch of := value.(type) {
	case nil:
		return name.String("")
	case []string:
		return name.StringSlice(of)
	case []bool:
		return name.BoolSlice(of)
	case []int:
		return name.IntSlice(of)
	case []int64:
		return name.Int64Slice(of)
	case []float64:
		return name.Float64Slice(of)
	case fmt.Stringer:
		return name.String(of.String())
	}
	found := reflect.ValueOf(value)
	if found.Kind() == reflect.Pointer && !found.IsNil() {
		found = found.Elem()
	}
	switch found.Kind() {
	case reflect.String:
		return name.String(found.String())
	case reflect.Bool:
		return name.Bool(found.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return name.Int64(found.Int())
	case reflect.Float32, reflect.Float64:
		return name.Float64(found.Float())
	}
	return name.String(fmt.Sprint(value))
}
