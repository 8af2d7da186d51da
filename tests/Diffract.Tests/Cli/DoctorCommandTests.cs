namespace Diffract.Tests.Cli;

public sealed class DoctorCommandTests
{
    [Fact]
    public void It_says_what_there_is_and_finds_every_kernel_right()
    {
        (int code, string output, string error) = CommandLine.Run(Path.GetTempPath(), "doctor");
        Assert.True(code == 0, error);
        Assert.All("processor: |cores: |instruction sets: |memory: |path: |ceilings: ".Split('|'), what => Assert.Contains(what, output, StringComparison.Ordinal));
        Assert.Matches(@"ceilings: [1-9]\d* GFLOP/s multiply-add on registers, \d+\.\d GB/s copied", output);
        Assert.Contains("  ok    crosscoder   EncodeSelect", output, StringComparison.Ordinal);
        Assert.Contains("kernels agree", output, StringComparison.Ordinal);
        Assert.DoesNotContain("FAIL", output, StringComparison.Ordinal);
    }
}
