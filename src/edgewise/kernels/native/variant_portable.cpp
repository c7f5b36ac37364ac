#define EW_LANES 4
#define EW_VECTORS 2
#define EW_PIXELS 4
#include "variant_body.h"

namespace ew {

static const Variant kVariant = {"portable", EW_LANES, EW_VECTORS, kLongest, direct, scatter, fill, strip, select, attend};
const Variant *portable() { return &kVariant; }

}  // namespace ew
