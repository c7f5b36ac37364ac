#define EW_LANES 8
#define EW_VECTORS 2
#define EW_PIXELS 4
#include "variant_body.h"

namespace ew {

static const Variant kVariant = {"avx2", EW_LANES, EW_VECTORS, kLongest, direct, scatter, fill, strip, select, attend};
const Variant *compiled_avx2();
const Variant *compiled_avx2() { return &kVariant; }

}  // namespace ew
