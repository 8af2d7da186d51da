using Diffract.Tests.Cli;

namespace Diffract.Tests.Pipeline;

public sealed class RunTests(LoadedRun given) : IClassFixture<LoadedRun>
{
    [Fact]
    public void A_loaded_crosscoder_is_taken_to_the_report_and_nothing_is_trained()
    {
        Assert.True(given.Code == 0, given.Error);
        string page = Path.Combine(given.Out, "report", "index.html");
        Assert.Equal(page, given.Output.TrimEnd().Split('\n')[^1]);
        Assert.True(File.Exists(page));
        foreach (string file in (ReadOnlySpan<string>)["latents/published/latents.csv", "scaling/published/scaling.csv", "evidence/published/interventions.json", "report/report.json"])
        {
            Assert.True(File.Exists(Path.Combine(given.Out, file)), file);
        }

        Assert.Contains("nothing is trained", given.Output, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(given.Out, "crosscoders", "published", "log.jsonl")));
    }

    [Fact]
    public void The_plan_says_what_every_stage_holds_and_why()
    {
        foreach (string part in (ReadOnlySpan<string>)["plan: base model", "stay in the mapped files", "plan: harvest: both models at once", "plan: crosscoder: ", "plan: latents, scale: ", "plan: evidence: both models at once", "s of harvest"])
        {
            Assert.Contains(part, given.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_memory_too_small_for_one_model_is_refused_before_the_folder_is_bound()
    {
        (int code, _, string error) = CommandLine.Run(
            given.Folder,
            "run", "--base", Path.Combine(GoldenFiles.Assets, "base"), "--chat", Path.Combine(GoldenFiles.Assets, "chat"), "--chats", Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz"),
            "--out", "small", "--memory", "0.25");
        Assert.Equal(1, code);
        Assert.Contains("with one model at a time, --memory allows 256 MiB; choose an earlier --layer", error, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(given.Folder, "small", "run.json")), "the folder takes other settings still");
    }

    [Fact]
    public void What_needs_the_other_kind_of_text_is_said()
        => Assert.Contains("no --text", given.Error, StringComparison.Ordinal);

    [Fact]
    public void Called_again_it_finds_everything_there()
    {
        (int code, string output, string error) = given.Run();
        Assert.True(code == 0, error);
        Assert.Contains("tokens are there already", output, StringComparison.Ordinal);
        Assert.Contains("evidence is there already", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_settings_in_the_same_folder_are_refused()
    {
        (int code, _, string error) = given.Run("--crosscoder", given.Crosscoder, "--seed", "7");
        Assert.Equal(1, code);
        Assert.Contains("other settings", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_crosscoder_of_another_width_is_refused_with_both_widths()
    {
        (int code, _, string error) = CommandLine.Run(
            given.Folder,
            "run", "--base", Path.Combine(GoldenFiles.Assets, "base"), "--chat", Path.Combine(GoldenFiles.Assets, "chat"), "--chats", Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz"),
            "--crosscoder", GoldenFiles.Path("crosscoder/files/hub_l1"), "--out", "unfit");
        Assert.Equal(1, code);
        Assert.False(Directory.Exists(Path.Combine(given.Folder, "unfit", "tokens")), "nothing is done before the refusal");
        Assert.Contains("has the widths 16 + 16", error, StringComparison.Ordinal);
        Assert.Contains("128 + 128", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("too small for every stage", "--tokens", "5000")]
    [InlineData("0 to 5", "--layer", "6")]
    [InlineData("wanted a number above 0", "--hours", "0")]
    [InlineData("wanted GiB, a number above 0", "--memory", "0")]
    [InlineData("wanted at least 100,000", "--hours", "0.000001")]
    [InlineData("no-such-folder does not exist", "--crosscoder", "no-such-folder")]
    [InlineData("not an option", "--no-such-option")]
    public void Bad_arguments_are_one_line_and_exit_code_2(string message, params string[] more)
    {
        (int code, _, string error) = CommandLine.Run(
            given.Folder,
            ["run", "--base", Path.Combine(GoldenFiles.Assets, "base"), "--chat", Path.Combine(GoldenFiles.Assets, "chat"), "--chats", Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz"), "--out", "other", .. more]);
        Assert.Equal(2, code);
        Assert.StartsWith("diffract: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_papers_preset_says_how_many_tokens_it_takes()
    {
        (int code, _, string error) = CommandLine.Run(
            given.Folder,
            "run", "--base", Path.Combine(GoldenFiles.Assets, "base"), "--chat", Path.Combine(GoldenFiles.Assets, "chat"), "--chats", Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz"),
            "--out", "paper", "--tokens", "100000", "--preset", "paper");
        Assert.Equal(2, code);
        Assert.False(Directory.Exists(Path.Combine(given.Folder, "paper", "activations")), "nothing is harvested before the refusal");
        Assert.Contains("training tokens", error, StringComparison.Ordinal);
    }
}
