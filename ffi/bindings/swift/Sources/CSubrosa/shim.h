/* ffi/include/subrosa.h, where pkg-config says it is. */
#include <subrosa.h>
