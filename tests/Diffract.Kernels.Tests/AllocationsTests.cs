namespace Diffract.Kernels.Tests;

public sealed class AllocationsTests
{
    [Fact]
    public void Work_that_allocates_is_seen() => Assert.True(Allocations.Least(() => GC.KeepAlive(new object())) > 0);
}
