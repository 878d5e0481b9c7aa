"""Work that is done now and then, beside the services: training models. A queue and its workers, anywhere."""

import recsys as recsys  # first: it sets what numpy reads when it is loaded
