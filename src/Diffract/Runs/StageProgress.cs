namespace Diffract.Runs;

/// <summary>What a stage tells its user while it works. The program's console writes it; tests collect it.</summary>
public interface IProgressSink
{
    /// <summary>A line of its own: plans and results.</summary>
    void Line(string text);

    /// <summary>A warning, on a line of its own.</summary>
    void Warn(string text);

    /// <summary>The state of the current stage: what, done of total in <paramref name="unit"/>, and a note such as the loss. Called often; the sink thins it out.</summary>
    void Report(string what, long done, long total, string unit, string? note = null);

    /// <summary>The current stage is over; its line stays.</summary>
    void Done(string what, string summary);
}

/// <summary>Tells nobody anything.</summary>
public sealed class SilentProgress : IProgressSink
{
    public void Line(string text)
    {
    }

    public void Warn(string text)
    {
    }

    public void Report(string what, long done, long total, string unit, string? note = null)
    {
    }

    public void Done(string what, string summary)
    {
    }
}
