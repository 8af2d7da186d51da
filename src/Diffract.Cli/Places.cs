using Diffract.Formats.Hub;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>Turns what a user calls a model or a dictionary into its folder: a folder, or a hub's repository, which is fetched when its cache lacks it.</summary>
static class Places
{
    public static string Model(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Checkpoint, Settings(), progress, stop);

    /// <summary>Tokenizer and chat template alone.</summary>
    public static string Tokenizer(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Tokenizer, Settings(), progress, stop);

    public static string Dictionary(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Dictionary, Settings(), progress, stop);

    /// <summary>The files that names of files, folders, patterns and data sets on the hub mean, in their order.</summary>
    /// <param name="texts">What the user gave.</param>
    /// <param name="tokens">Most tokens that are wanted of each; null: all. Of a data set on the hub no more files are fetched than hold so many.</param>
    /// <param name="progress">Hears where they were found.</param>
    /// <param name="stop">Stops a download.</param>
    public static IReadOnlyList<string> Data(IEnumerable<string>? texts, long? tokens, IProgressSink progress, CancellationToken stop)
        => [.. (texts ?? []).SelectMany(t => HubData.Resolve(t, tokens, Settings(), progress, stop))];

    static HubSettings Settings() => HubSettings.Read(Environment.GetEnvironmentVariable);
}
