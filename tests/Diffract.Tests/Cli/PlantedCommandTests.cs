namespace Diffract.Tests.Cli;

/// <summary>From a planted run to its scores, through the program.</summary>
public sealed class PlantedCommandTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_ordinary_verbs_work_on_a_planted_run()
    {
        Run("planted", "mine", "--latents", "12", "--width", "16", "--tokens", "12000", "--rate-low", "0.02", "--rate-median", "0.05", "--outlier", "1", "--seed", "4");
        Run("train", "mine", "--latents", "16", "--k", "2", "--steps", "120", "--batch", "128");
        Run("latents", "mine");
        Run("scale", "mine");
        string output = Run("planted-score", "mine", "--out", "table.md");
        Assert.Contains("chat-specific by Latent Scaling", output, StringComparison.Ordinal);
        Assert.EndsWith("table.md", output.TrimEnd(), StringComparison.Ordinal);
        Assert.Contains("What wrong claims take", File.ReadAllText(Path.Combine(_folder.Path, "table.md")), StringComparison.Ordinal);
        Assert.Contains("there are no models to run", Fails(1, "evidence", "mine"), StringComparison.Ordinal);
        Run("report", "mine");
    }

    [Theory]
    [InlineData("--latents 0 does not fit; wanted at least 1", "--latents", "0")]
    [InlineData("--rate-high 0.9 do not fit", "--rate-high", "0.9")]
    [InlineData("--shares a,b does not fit; wanted six whole percentages such as", "--shares", "a,b")]
    [InlineData("--tokens 1e6 does not fit; wanted a whole number", "--tokens", "1e6")]
    [InlineData("are more than 2147483647 numbers", "--latents", "2000000000", "--width", "2000000000")]
    public void Bad_options_say_what_was_wanted_and_leave_nothing_behind(string message, params string[] options)
    {
        Assert.Contains(message, Fails(2, ["planted", "mine", .. options]), StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_folder.Path, "mine")));
    }

    string Run(params string[] arguments)
    {
        (int code, string output, string error) = CommandLine.Run(_folder.Path, arguments);
        Assert.True(code == 0, error);
        return output;
    }

    string Fails(int code, params string[] arguments)
    {
        (int got, _, string error) = CommandLine.Run(_folder.Path, arguments);
        Assert.Equal(code, got);
        return Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries), l => l.StartsWith("diffract: ", StringComparison.Ordinal));
    }
}
