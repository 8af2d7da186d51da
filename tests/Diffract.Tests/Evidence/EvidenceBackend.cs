using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Tests.Evidence;

static class EvidenceBackend
{
    public const int GoldenChats = 3;

    public static IBackend Create() => new ReferenceBackend();
}
