using Diffract.Llms;

namespace Diffract.Tests.Cli;

public sealed class ModelsCommandTests
{
    [Fact]
    public void It_prints_every_family_with_the_fields_it_reads()
    {
        (int code, string output, string error) = CommandLine.Run(Path.GetTempPath(), "models");
        Assert.True(code == 0, error);
        string[] lines = output.TrimEnd().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal(FamilyTable.Lines(), lines);
        Assert.All(LlmFamily.Supported.Keys, family => Assert.Contains(lines, l => l.StartsWith($"| `{family}` |", StringComparison.Ordinal)));
        Assert.Contains(lines, l => l.StartsWith("| all | | `model_type`, ", StringComparison.Ordinal) && l.Contains("`vocab_size`", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("| `gpt2` |", StringComparison.Ordinal) && l.Contains("`n_embd`", StringComparison.Ordinal) && !l.Contains("`rope_theta`", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("| `gemma3_text` |", StringComparison.Ordinal) && l.Contains("`rope_local_base_freq`", StringComparison.Ordinal));
    }
}
