uniform float number;
out float value;
void main() { value = number; }
