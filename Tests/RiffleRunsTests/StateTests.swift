import RiffleTensor
import Testing
@testable import RiffleRuns
