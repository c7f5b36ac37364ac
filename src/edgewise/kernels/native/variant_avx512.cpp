#define EW_LANES 16
#define EW_VECTORS 4
#define EW_PIXELS 6
#include "variant_body.h"

namespace ew {

static const Variant kVariant = {"avx512", EW_LANES, EW_VECTORS, kLongest, direct, scatter, fill, strip, select, attend};
const Variant *compiled_avx512();
const Variant *compiled_avx512() { return &kVariant; }

}  // namespace ew
