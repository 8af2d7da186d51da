using Diffract.Runs;

namespace Diffract.Tests;

/// <summary>Keeps what a stage says.</summary>
sealed class ListProgress : IProgressSink
{
    public List<string> Lines { get; } = [];

    public List<string> Warnings { get; } = [];

    /// <summary>Told how much is done at every report.</summary>
    public Action<long>? Reported { get; init; }

    public void Line(string text) => Lines.Add(text);

    public void Warn(string text) => Warnings.Add(text);

    public void Report(string what, long done, long total, string unit, string? note = null) => Reported?.Invoke(done);

    public void Done(string what, string summary) => Lines.Add($"{what}: {summary}");
}
